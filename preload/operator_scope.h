// SPDX-License-Identifier: Apache-2.0
// Which programs get to see this library's operator new and delete. The library is in the global scope of every process, also of one that
// is no C++ program but loads plugins that are, each for itself alone: the plugins would bind to the operators here, and what they would
// have got, found from here, lies in no scope that is known here.
#pragma once

namespace tailback::preload {

// Takes the operators out of the symbol table that the loader looks into, unless the allocator of the program has operators of its own:
// the C++ library's come down to malloc and free, whose hooks see them. What is bound already stays bound. In a constructor.
void withdraw_operators();

}  // namespace tailback::preload
