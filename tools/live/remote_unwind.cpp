// SPDX-License-Identifier: Apache-2.0
#include "tools/live/remote_unwind.h"

#include <libunwind.h>

#include <array>

// Exported for tools that bring their own memory, and in no header (perf declares it likewise).
extern "C" int _Ux86_64_dwarf_search_unwind_table(unw_addr_space_t space, unw_word_t address, unw_dyn_info_t* table,
                                                  unw_proc_info_t* result, int need_unwind_info, void* argument);

namespace tailback::tools {

namespace {

constexpr std::size_t kMostFrames = 2048;

struct Target {
  TargetMemory& memory;
  const std::vector<TargetModule>& modules;
  const user_regs_struct* registers = nullptr;
};

int find_proc_info(unw_addr_space_t space, unw_word_t address, unw_proc_info_t* result, int need_unwind_info, void* argument) {
  const auto& target = *static_cast<Target*>(argument);
  const TargetModule* module = module_at(target.modules, address);
  if (!module || module->unwind.count == 0) return -UNW_ENOINFO;
  unw_dyn_info_t table{};
  table.format = UNW_INFO_FORMAT_REMOTE_TABLE;
  table.start_ip = module->start;
  table.end_ip = module->end;
  table.u.rti.segbase = module->unwind.base;
  table.u.rti.table_data = module->unwind.entries;
  table.u.rti.table_len = module->unwind.count;  // in words of 8 bytes, as large as an entry
  return _Ux86_64_dwarf_search_unwind_table(space, address, &table, result, need_unwind_info, argument);
}

// What is found lives in libunwind's own pools until the command ends.
void put_unwind_info(unw_addr_space_t, unw_proc_info_t*, void*) {}

int no_dynamic_code(unw_addr_space_t, unw_word_t*, void*) { return -UNW_ENOINFO; }

int access_memory(unw_addr_space_t, unw_word_t address, unw_word_t* value, int write, void* argument) {
  if (write) return -UNW_EINVAL;
  return static_cast<Target*>(argument)->memory.read(address, value, sizeof *value) ? 0 : -UNW_EUNSPEC;
}

int access_register(unw_addr_space_t, unw_regnum_t number, unw_word_t* value, int write, void* argument) {
  using Registers = user_regs_struct;
  static constexpr unsigned long long Registers::*kByNumber[] = {
      &Registers::rax, &Registers::rdx, &Registers::rcx, &Registers::rbx, &Registers::rsi, &Registers::rdi,
      &Registers::rbp, &Registers::rsp, &Registers::r8,  &Registers::r9,  &Registers::r10, &Registers::r11,
      &Registers::r12, &Registers::r13, &Registers::r14, &Registers::r15, &Registers::rip};
  static_assert(UNW_X86_64_RAX == 0 && UNW_X86_64_RDX == 1 && UNW_X86_64_RSP == 7 && UNW_X86_64_RIP == 16);
  if (write || number < 0 || number > UNW_X86_64_RIP) return -UNW_EBADREG;
  *value = static_cast<Target*>(argument)->registers->*kByNumber[number];
  return 0;
}

int no_float_register(unw_addr_space_t, unw_regnum_t, unw_fpreg_t*, int, void*) { return -UNW_EBADREG; }
int no_resume(unw_addr_space_t, unw_cursor_t*, void*) { return -UNW_EINVAL; }
int no_name(unw_addr_space_t, unw_word_t, char*, std::size_t, unw_word_t*, void*) { return -UNW_ENOINFO; }

unw_accessors_t accessors() {
  unw_accessors_t all{};
  all.find_proc_info = find_proc_info;
  all.put_unwind_info = put_unwind_info;
  all.get_dyn_info_list_addr = no_dynamic_code;
  all.access_mem = access_memory;
  all.access_reg = access_register;
  all.access_fpreg = no_float_register;
  all.resume = no_resume;
  all.get_proc_name = no_name;
  return all;
}

// The code to which signal handlers return has not been called from the instruction before, nor has the code that they
// interrupted.
bool is_signal_return(std::uint64_t address, TargetMemory& memory) {
  constexpr std::array<std::uint8_t, 9> kCode = {0x48, 0xc7, 0xc0, 0x0f, 0,
                                                 0,    0,    0x0f, 0x05};  // mov $__NR_rt_sigreturn, %rax; syscall
  return memory.value<std::array<std::uint8_t, 9>>(address) == kCode;
}

WalkedFrame frame_at(unw_cursor_t& cursor, unw_word_t pointer, bool exact) {
  WalkedFrame frame{exact ? pointer : pointer - 1};
  unw_proc_info_t info;
  if (unw_get_proc_info(&cursor, &info) == 0 && frame.address >= info.start_ip && frame.address < info.end_ip)
    frame.code_start = info.start_ip, frame.code_end = info.end_ip;
  return frame;
}

}  // namespace

struct RemoteUnwinder::Space {
  Target target;
  unw_accessors_t calls = accessors();
  unw_addr_space_t space = unw_create_addr_space(&calls, 0);
  ~Space() {
    if (space) unw_destroy_addr_space(space);
  }
};

RemoteUnwinder::RemoteUnwinder(TargetMemory& memory, const std::vector<TargetModule>& modules)
    : space_(new Space{{memory, modules}}) {
  if (space_->space) unw_set_caching_policy(space_->space, UNW_CACHE_GLOBAL);
}
RemoteUnwinder::~RemoteUnwinder() = default;

WalkedStack RemoteUnwinder::walk(const user_regs_struct& registers) {
  WalkedStack stack;
  unw_cursor_t cursor;
  space_->target.registers = &registers;
  if (!space_->space || unw_init_remote(&cursor, space_->space, &space_->target) != 0) return stack;
  unw_word_t pointer = registers.rip, last_frame = 0;
  bool exact = true;
  int step = 1;
  while (step > 0 && stack.frames.size() < kMostFrames && pointer != 0) {
    const bool handler_returns_here = is_signal_return(pointer, space_->target.memory);
    stack.frames.push_back(frame_at(cursor, pointer, exact || handler_returns_here));
    exact = handler_returns_here;
    step = unw_step(&cursor);
    unw_word_t frame = 0;
    if (step <= 0 || unw_get_reg(&cursor, UNW_REG_IP, &pointer) != 0 || unw_get_reg(&cursor, UNW_REG_SP, &frame) != 0) break;
    if (frame == last_frame) step = -1;  // without unwind tables the walk guesses, and may go in a circle
    last_frame = frame;
  }
  // Where there are no unwind tables the walk ends likewise, but not at the root.
  stack.whole = pointer == 0 || (step == 0 && !stack.frames.empty() && stack.frames.back().code_end != 0);
  return stack;
}

}  // namespace tailback::tools
