"""EHR vendors."""
