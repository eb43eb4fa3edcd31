# SPDX-License-Identifier: Apache-2.0
"""Test suites that others wrote, as Debian's packages carry them: the same verdict on each of their tests, bare and recorded."""
import os

from cases import Case

RUNNER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "python_suite.py")

# Modules of CPython's own tests that look at what a guest could disturb; the slower ones only in the long form.
PYTHON_MODULES = ["test_thread", "test_threading", "test_threadsignals", "test_threading_local", "test_subprocess", "test_faulthandler", "test_fork1", "test_wait3", "test_wait4",
                  "test_select", "test_poll", "test_epoll", "test_selectors", "test_queue", "test_pty", "test_atexit", "test_posix", "test_os", "test_mmap", "test_resource", "test_popen",
                  "test_exceptions", "test_sys", "test_contextlib", "test_gc"]
PYTHON_SLOW_MODULES = ["test_signal", "test_eintr", "test_asyncio", "test_multiprocessing_fork", "test_multiprocessing_spawn", "test_multiprocessing_forkserver",
                       "test_concurrent_futures", "test_socketserver", "test_ssl", "test_io", "test_fcntl"]


def python_module(name):
    return Case(f"CPython's {name}", ["python3", RUNNER, name], env={"HOME": "/tmp"}, hide_stderr=True, watch_files=False, seconds=1200)


LONG = os.environ.get("TAILBACK_LONG") == "1"
SUITES = [python_module(name) for name in PYTHON_MODULES + (PYTHON_SLOW_MODULES if LONG else [])]
