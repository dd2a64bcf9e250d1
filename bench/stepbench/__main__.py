"""`python -m stepbench`: the same as the command `stepbench`."""

from stepbench.search_path import leave_out_current_directory

leave_out_current_directory()  # `-m` puts the directory first; must precede other imports

from stepbench.cli import main  # noqa: E402

if __name__ == "__main__":
    raise SystemExit(main())
