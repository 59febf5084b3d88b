"""The CMS: a web site on which readers register, each registration a message that is never lost and never made up."""
