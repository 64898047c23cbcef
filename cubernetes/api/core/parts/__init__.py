"""What several kinds of the core group are made of: amounts of resources, names of objects."""
