"""OpenAPI v3 and v2: what the API takes and gives, told by models and routes alone.

The models and the table of routes make the documents of v3; v2 is made from those.
"""
