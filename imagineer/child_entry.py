"""How a child process begins: `python -m imagineer.child_entry PARENT_PID MODULE [ARGUMENT…]`.

Puts itself into a process group of its own, arranges to be killed when its parent dies, however that dies, and then
becomes MODULE. Imports nothing but the standard library.
"""

import os
import runpy
import sys

from imagineer.processes import die_with_parent


def main() -> None:
    parent, module = int(sys.argv[1]), sys.argv[2]
    os.setpgid(0, 0)
    die_with_parent(parent)
    sys.argv = sys.argv[2:]
    sys.path.insert(0, str(os.environ.get("IMAGINEER_ROOT", ".")))
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
