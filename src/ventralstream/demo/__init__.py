"""`ventral demo`: does recurrence help to see digits in clutter? Three networks, trained and compared."""
