"""One collection on one member: its versions, its growing rows, and answering at one instant.

Order of the modules, lowest first: `parts` < `merge` `questions` `sources` `sealing` `versions` <
`planning` `reading` < `answer` `state` < `local`.
"""
