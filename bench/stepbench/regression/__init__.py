"""The regression gate: tests whether head is slower than base by more than noise.

Belongs here: revisions, environments, and the measuring of both sides;
`stepbench_reports.regression` decides. `docs/regression.md` says how it is measured and decided.
"""
