from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from gallery.views.viewer import ADULT, next_page


@require_http_methods(["GET", "HEAD", "POST"])
def adult(request: HttpRequest) -> HttpResponse:
    """Asks once a session whether pictures rated adult and explicit may be shown."""
    following = next_page(request, "/")
    if request.method != "POST":
        return render(request, "gallery/adult.html", {"next": following})
    if request.POST.get("adult") == "yes":
        request.session[ADULT] = True
    else:
        request.session.pop(ADULT, None)
    return redirect(following)
