"""The Milvus-compatible engine of one process.

Order of the modules, lowest first: `errors` `timestamps` `files` `schema` < `columns` < `api` <
`expr` `index` `log` `manifest` `catalog` < `segment` < `collection` < `engine`.
"""
