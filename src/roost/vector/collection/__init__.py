"""One collection on one member: its versions, its growing rows, and answering at one instant.

Order of the modules, lowest first: `parts` < `merge` `planning` < `answer` `state` < `local`.
"""
