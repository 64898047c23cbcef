"""What an object has below itself: a binding, a log, a scale, a finalization."""
