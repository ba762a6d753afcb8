"""What happens in a store, told to callbacks, to the file LOG and to the page STATUS."""
