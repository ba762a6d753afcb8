"""The interfaces of other stores on top of this one, so that code written for them runs after one changed import."""
