"""Words to the words of an answer."""
