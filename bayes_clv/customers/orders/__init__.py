"""The door of orders: any table of orders as one Ibis expression, read, checked and made one row a customer."""
