"""The pages that show the mails."""
