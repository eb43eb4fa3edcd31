/* SPDX-License-Identifier: Apache-2.0 */
/* syscall(): looks at the number and hands the call on by a jump, with the caller's registers and frame as they are. Calls that return
 * twice (fork, vfork, clone) would not survive a frame of ours; and where a caller gave fewer arguments, the word that a seventh
 * would be in is the caller's own, which a compiled function might read and write back under another thread's hands. */
__asm__(
    ".text\n"
    ".globl syscall\n"
    ".type syscall, @function\n"
    "syscall:\n"
    "  .cfi_startproc\n"
    "  cmpq $202, %rdi\n" /* futex */
    "  je 2f\n"
    "  cmpq $161, %rdi\n" /* chroot */
    "  je 1f\n"
    "  cmpq $272, %rdi\n" /* unshare */
    "  je 1f\n"
    "  cmpq $308, %rdi\n" /* setns */
    "  je 1f\n"
    "  cmpq $317, %rdi\n" /* seccomp */
    "  je 1f\n"
    "  jmp *tailback_real_syscall(%rip)\n"
    "1: jmp tailback_special_syscall\n"
    /* Of futex the operations that wait or wake: its six arguments move into the six registers, the last from the stack, where it is only read. */
    "2: movl %edx, %eax\n"
    "  andl $0x7f, %eax\n" /* without FUTEX_PRIVATE_FLAG and FUTEX_CLOCK_REALTIME */
    "  testl %eax, %eax\n" /* WAIT */
    "  je 3f\n"
    "  cmpl $9, %eax\n" /* WAIT_BITSET */
    "  je 3f\n"
    "  cmpl $6, %eax\n" /* LOCK_PI */
    "  je 3f\n"
    "  cmpl $13, %eax\n" /* LOCK_PI2 */
    "  je 3f\n"
    "  cmpl $1, %eax\n" /* WAKE */
    "  je 4f\n"
    "  cmpl $10, %eax\n" /* WAKE_BITSET */
    "  je 4f\n"
    "  jmp *tailback_real_syscall(%rip)\n"
    "3: leaq tailback_futex_wait(%rip), %rax\n"
    "  jmp 5f\n"
    "4: leaq tailback_futex_wake(%rip), %rax\n"
    "5: movq %rsi, %rdi\n"
    "  movq %rdx, %rsi\n"
    "  movq %rcx, %rdx\n"
    "  movq %r8, %rcx\n"
    "  movq %r9, %r8\n"
    "  movq 8(%rsp), %r9\n"
    "  jmp *%rax\n"
    "  .cfi_endproc\n"
    ".size syscall, . - syscall\n");
