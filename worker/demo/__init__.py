"""What a trial needs: invented orders and the world around them."""
