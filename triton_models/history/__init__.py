"""`rayton models`: what a repository holds, and how its versions come and go."""
