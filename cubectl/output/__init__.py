"""What is printed: tables, columns, trees and descriptions. Pure: it asks nobody."""
