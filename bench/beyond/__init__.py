"""Beyond single figures: how cost grows, what a second process brings, what stays for the foreground, the limiter."""
