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
    "  .cfi_endproc\n"
    ".size syscall, . - syscall\n");
