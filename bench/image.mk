# The bench of the image path, from the request's first byte to the pixels that an engine takes.

.PHONY: bench-images

bench-images: dev  ## The front's share of a 10 MB image against bare Pillow; event-loop stalls
	@$(BIN)/python bench/image_path.py --json bench/results/image_path.json $(ARGS)
