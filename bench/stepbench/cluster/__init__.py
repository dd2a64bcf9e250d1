"""Groups of cases handed to an engine that is there: SLURM, Ray, or processes of this machine.

Belongs here: what an engine is asked, one file for each engine, and all that is the same for every
engine: the plan of jobs, their files, their progress, and the merging of their results. Nothing of
submitit or Ray is imported before its engine is made.
"""
