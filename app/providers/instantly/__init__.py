"""Instantly: one `funnel`, and what is asked through it: `leads`, `rows`, `campaigns`, `hooks`, `mails`."""
