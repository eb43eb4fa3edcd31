// SPDX-License-Identifier: Apache-2.0
// Data that every process with the library touches, also one that is never recorded, lies together: each page costs a fault where it
// is first written, again after each fork, and a shell's subshell does little else (docs/decisions/014). What only a recorded process
// uses stays in .bss or in pages of its own. Variables need constant initialisers, zero ones included.
#pragma once

#define TAILBACK_DORMANT_DATA __attribute__((section(".data.dormant")))
