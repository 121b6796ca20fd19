"""The app: a page in the browser for one photo at a time, `omf app`."""
