"""The order of sources whose log may begin anew: where messages stand, and what is remembered of it. Pure."""
