# SPDX-License-Identifier: Apache-2.0
# One set of flags for all targets; a compiler launcher when ccache is there.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
include(GNUInstallDirs)

find_program(TAILBACK_CCACHE ccache)
if(TAILBACK_CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${TAILBACK_CCACHE})
  set(CMAKE_C_COMPILER_LAUNCHER ${TAILBACK_CCACHE})
endif()

add_compile_options(-Wall -Wextra -Werror -Wshadow -Wno-missing-field-initializers)
include_directories(${PROJECT_SOURCE_DIR})

if(TAILBACK_SANITIZE)
  set(TAILBACK_SANITIZE_FLAGS -fsanitize=${TAILBACK_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
endif()

# Everything but the preloaded library (which lives in foreign processes) and the workloads is built with the sanitizers.
function(tailback_sanitize target)
  if(TAILBACK_SANITIZE)
    # Instrumented code makes GCC see uninitialised values where there are none (std::regex, std::function).
    target_compile_options(${target} PRIVATE ${TAILBACK_SANITIZE_FLAGS} -Wno-maybe-uninitialized)
    target_link_options(${target} PUBLIC ${TAILBACK_SANITIZE_FLAGS})
  endif()
endfunction()
