# SPDX-License-Identifier: Apache-2.0
"""Installs into an empty folder and looks whether everything lies where Debian puts such things, and works from there.

usage: install_guard.py CMAKE BUILD_DIR LIBDIR       LIBDIR as CMake says it, for instance lib/x86_64-linux-gnu
"""
import os
import stat
import subprocess
import sys
import tempfile


def expected(libdir):
    """path -> must it be executable"""
    return {"usr/bin/tailback": True, f"usr/{libdir}/libtailback.so": False, "usr/share/man/man1/tailback.1": False}


def problems_in(root, libdir):
    found = []
    for path, executable in expected(libdir).items():
        candidates = [os.path.join(root, path), os.path.join(root, path + ".gz")]
        full = next((name for name in candidates if os.path.isfile(name)), None)
        if full is None:
            found.append(f"not installed: /{path}")
        elif executable and not os.stat(full).st_mode & stat.S_IXUSR:
            found.append(f"not executable: /{path}")
    for folder, _, names in os.walk(root):
        for name in names:
            path = os.path.relpath(os.path.join(folder, name), root)
            if not path.startswith(("usr/bin/", f"usr/{libdir}/", "usr/share/")):
                found.append(f"installed where it does not belong: /{path}")
    return found


def records_from(root):
    """The installed pair must find each other: no path of the build tree may be needed."""
    with tempfile.TemporaryDirectory() as folder:
        dump = os.path.join(folder, "true.tbk")
        environment = {"PATH": "/usr/bin:/bin", "HOME": folder}
        done = subprocess.run([os.path.join(root, "usr/bin/tailback"), "record", "-q", "-o", dump, "--", "/bin/true"], cwd=folder,
                              env=environment, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
        if done.returncode != 0 or not os.path.exists(dump):
            return [f"the installed tailback does not record: status {done.returncode}: {done.stderr.strip()}"]
    return []


def main():
    cmake, build, libdir = sys.argv[1:4]
    with tempfile.TemporaryDirectory() as root:
        subprocess.run([cmake, "--install", build, "--prefix", "/usr"], check=True, env={**os.environ, "DESTDIR": root}, stdout=subprocess.DEVNULL,
                       timeout=120)
        found = problems_in(root, libdir) or records_from(root)
    print("\n".join(found) or "installed as Debian would")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
