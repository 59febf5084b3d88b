"""The capture server: receives mail by SMTP, stores the mail durably, and shows it."""
