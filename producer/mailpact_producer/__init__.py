"""The CMS: readers register, and each registration that was committed becomes exactly one message."""
