"""The process of a script: hooks at the boundaries of its steps, turns at their ends.

What runs beside the user's code enters here. Nothing is imported before the script that the script
could miss or meet: torch is hooked when the script imports it.
"""
