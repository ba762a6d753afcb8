"""Followers: processes that read a store live while another process owns and writes it."""
