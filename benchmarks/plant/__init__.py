"""Plants faults of known kinds into a folder of real images, and scores what is found of them.

Nothing here knows how the package looks for faults; it shares no code with what does.
"""
