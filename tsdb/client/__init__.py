"""For programs: samples written behind their back (write), and questions to a store (query)."""
