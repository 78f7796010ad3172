"""The engine of one process: the writer of all collections, and reading beside it.

Order of the modules, lowest first: `settings` `rows` `definitions` `follow` `held` < `core` <
`commits` < `flushing` `indexing` < `compacting` `collecting` < `recovering` < `defining` `keeper` <
`writer` < `engine`.
"""
