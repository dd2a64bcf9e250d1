"""The workloads that stepbench ships, one file each; each reads as a lesson."""
