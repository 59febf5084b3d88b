"""The capture server: takes mail by SMTP, keeps it durably, and shows it."""
