"""Bodies on the wire: media types, patches, protobuf, tables and pages."""
