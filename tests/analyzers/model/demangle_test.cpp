// SPDX-License-Identifier: Apache-2.0
// Demangling: C++, Rust in both forms, names that are neither, and names made to cost time or memory.
#include <gtest/gtest.h>

#include <chrono>
#include <random>
#include <string>
#include <thread>

#include "analyzers/model/symbols.h"

namespace tailback::analyzers {
namespace {

struct Case {
  const char* mangled;
  const char* expected;
};

TEST(Demangle, KnownNames) {
  const Case cases[] = {
      {"_ZN4area9outermostEi", "area::outermost(int)"},
      {"_ZNSt6vectorIiSaIiEE9push_backERKi", "std::vector<int, std::allocator<int> >::push_back(int const&)"},
      {"_ZN12_GLOBAL__N_16hiddenEv", "(anonymous namespace)::hidden()"},
      {"_ZN4CtorC4Ei", "Ctor::Ctor(int)"},
      {"_ZTVSt9exception", "vtable for std::exception"},
      {"_Z3fooi.constprop.0", "foo(int) [clone .constprop.0]"},
      {"_RNvCs1234_7mycrate3foo", "mycrate::foo"},
      {"_RINvNtC3std3mem8align_ofdE", "std::mem::align_of::<f64>"},
      {"_ZN4core3fmt9Formatter9write_str17h0123456789abcdefE", "core::fmt::Formatter::write_str"},
      {"_ZN66_$LT$alloc..vec..Vec$LT$T$GT$$u20$as$u20$core..ops..drop..Drop$GT$4drop17h0123456789abcdefE",
       "<alloc::vec::Vec<T> as core::ops::drop::Drop>::drop"},
      {"_GLOBAL__sub_I_main", "_GLOBAL__sub_I_main"},
      {"main", "main"},
      {"", ""},
      {"_", "_"},
      {"_Z", "_Z"},
      {"i", "i"},
      {"_Zzz", "_Zzz"},
      {"_R", "_R"},
      {"__libc_start_main", "__libc_start_main"},
  };
  for (const Case& one : cases) EXPECT_EQ(demangle(one.mangled), one.expected) << one.mangled;
}

TEST(Demangle, LongNamesOfRealTemplatesWork) {
  std::string mangled = "_ZN";
  for (int i = 0; i < 300; ++i) mangled += "5abcde";
  mangled += "1fEv";
  const std::string text = demangle(mangled);
  EXPECT_TRUE(text.starts_with("abcde::abcde::"));
  EXPECT_TRUE(text.ends_with("::f()"));
}

double seconds_of(const std::string& name, std::string& result) {
  const auto start = std::chrono::steady_clock::now();
  result = demangle(name);
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Every substitution doubles the text: these are 2^40 times the first.
TEST(Demangle, ExpansionIsBounded) {
  const std::string digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
  std::string name = "_Z1fSt4pairIiiE", reference = "S0_";
  for (std::size_t i = 1; i < 40; ++i) {
    name += "S_I" + reference + reference + "E";
    reference = i < 36 ? std::string("S") + digits[i] + "_" : std::string("S1") + digits[i - 36] + "_";
  }
  std::string text;
  EXPECT_LT(seconds_of(name, text), 2.0);
  EXPECT_EQ(text, name);
  EXPECT_EQ(demangle("_Z1fSt4pairIiiES_IS0_S0_E"), "f(std::pair<int, int>, std::pair<std::pair<int, int>, std::pair<int, int> >)");
}

// Back references of Rust names may lead to themselves.
TEST(Demangle, NamesThatReferToThemselvesEnd) {
  std::string text;
  EXPECT_LT(seconds_of("_RNvMsr_NtCs3ssYzQotkvD_3std4pathNtB_75_7PathBuf3tCs3ssYzQotkvD_3snewCs15kBYyAo9fc_7mycrate", text), 2.0);
  EXPECT_FALSE(text.empty());
}

TEST(Demangle, DeepNestingFitsTheStackOfAThread) {
  std::string results[4];
  std::thread thread([&] {
    EXPECT_LT(seconds_of("_Z1f" + std::string(8000, 'P') + "i", results[0]), 2.0);
    EXPECT_LT(seconds_of("_Z1f" + std::string(8000, 'I'), results[1]), 2.0);
    std::string nested = "_Z1f";
    for (int i = 0; i < 2000; ++i) nested += "1AI";
    EXPECT_LT(seconds_of(nested, results[2]), 2.0);
    EXPECT_LT(seconds_of("_R" + std::string(8000, 'I'), results[3]), 2.0);
  });
  thread.join();
  for (const std::string& result : results) EXPECT_FALSE(result.empty());
}

TEST(Demangle, TooLongNamesComeBackUnchanged) {
  const std::string name = "_Z1f" + std::string(100'000, 'P') + "i";
  EXPECT_EQ(demangle(name), name);
}

TEST(Demangle, RandomChangesOfNamesEnd) {
  const std::string seeds[] = {
      "_ZNSt8__detail9_ExecutorIN9__gnu_cxx17__normal_iteratorIPKcNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEEEE9_M_searchEv",
      "_ZSt9transformIN9__gnu_cxx17__normal_iteratorIPiSt6vectorIiSaIiEEEES6_Z4mainEUliE_ET0_T_S9_S8_T1_",
      "_RNvMsr_NtCs3ssYzQotkvD_3std4pathNtB5_7PathBuf3newCs15kBYyAo9fc_7mycrate",
      "_ZN4core3ptr42drop_in_place$LT$alloc..string..String$GT$17h0123456789abcdefE"};
  std::mt19937 random(11);
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < 20'000; ++i) {
    std::string name = seeds[random() % 4];
    for (unsigned k = 1 + random() % 4; k > 0; --k) {
      const std::size_t at = 2 + random() % (name.size() - 2);
      if (random() % 3 == 0) name.insert(at, name.substr(random() % name.size(), random() % 20));
      else name[at] = "SIEJTLNKZ_0123456789PRXDpFa"[random() % 27];
    }
    EXPECT_FALSE(simplify_name(demangle(name)).empty());
  }
  EXPECT_LT(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(), 60.0);
}

}  // namespace
}  // namespace tailback::analyzers
