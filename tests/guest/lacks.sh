# A kernel that lacks what pods need: the start is refused, and each lack comes with its way out.
if coracle up; then echo "it came up"; fi
