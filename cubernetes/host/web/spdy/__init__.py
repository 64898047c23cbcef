"""SPDY/3.1: many streams over one connection, as kubectl asks for ports and older exec."""
