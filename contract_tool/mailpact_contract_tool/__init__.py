"""The contract tool: lints, compares, releases and publishes contracts. No service needs it."""
