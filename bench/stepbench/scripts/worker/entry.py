"""The first file of a script's process, started by its path: `python entry.py DESCRIPTOR`.

Nothing is imported before the folder of this file has left the search path, where Python puts it.
"""

import sys

del sys.path[0]

if __name__ == "__main__":
    from stepbench.scripts.worker.process import main

    sys.exit(main(int(sys.argv[1])))
