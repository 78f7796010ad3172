"""Rows at rest and in memory: growing segments, sealed segments, their files, deletes and search.

Order of the modules, lowest first: `keys` `layout` < `blocks` `deletes` < `growing` `writing` `sealed`
< `search`.  The stored form is described in docs/formats/segment.md.
"""
