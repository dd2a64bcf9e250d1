"""The regression gate: is head slower than base, by more than noise, on this machine, now?

`docs/regression.md` says how it is measured and decided; `reports.regression` decides.
"""
