"""Where the gallery listens."""

from django.urls import path

from gallery import views

urlpatterns = [
    path("photos", views.upload),
    path("photos/<uuid:job_id>", views.look),
]
