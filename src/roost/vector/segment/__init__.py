"""Rows at rest and in memory: growing segments, sealed segments, their files, deletes and search.

Order of the modules, lowest first: `arrays` `keys` `masks` `layout` `statistics` < `blocks` <
`deletes` < `growing` `writing` < `sealed` < `search`.  docs/formats/segment.md has the stored form.
"""
