"""The one exception that the command line turns into a line of text."""


class UserError(Exception):
    """Something the user can put right; its text is one line saying what, where and what would be right."""
